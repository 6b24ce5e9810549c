# SPDX-License-Identifier: Apache-2.0
"""Real-time ROS 2 control of legged robots that adapt while they walk (GrBAL and ReBAL with sampling-based MPC)."""

__version__ = "0.1.0"
