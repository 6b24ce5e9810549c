# SPDX-License-Identifier: Apache-2.0
"""Sampling-based planning with the adapted model."""
