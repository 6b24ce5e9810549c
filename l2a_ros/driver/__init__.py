# SPDX-License-Identifier: Apache-2.0
"""The radio protocol of the robot, its link, and an emulated firmware to be the other end of it."""
