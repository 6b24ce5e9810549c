# SPDX-License-Identifier: Apache-2.0
"""What people look at while the robot walks, without ROS: the executed track, areas, a status in words."""
