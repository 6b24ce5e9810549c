# SPDX-License-Identifier: Apache-2.0
"""The ROS shells. Only this folder imports rclpy or a message package."""
