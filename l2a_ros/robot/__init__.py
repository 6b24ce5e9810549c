# SPDX-License-Identifier: Apache-2.0
"""What the robot is: names and units of its state and action, its limits, its description."""
