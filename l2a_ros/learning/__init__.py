# SPDX-License-Identifier: Apache-2.0
"""Dynamics models and how they adapt."""
