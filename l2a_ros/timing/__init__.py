# SPDX-License-Identifier: Apache-2.0
"""Deadlines and statistics of the control loop. Clocks are read elsewhere: time comes in as an argument."""
