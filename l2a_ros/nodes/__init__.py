# SPDX-License-Identifier: Apache-2.0
"""The ROS shells. Only this folder imports rclpy, launch or a message package."""
