# SPDX-License-Identifier: Apache-2.0
"""Trials: path shapes, progress along them, what is written down about a run."""
