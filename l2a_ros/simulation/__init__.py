# SPDX-License-Identifier: Apache-2.0
"""MuJoCo worlds: the millirobot, its terrains and its faults."""
