# SPDX-License-Identifier: Apache-2.0
"""Experiments: a matrix of trials from one file, run in lock-step, resumed, and made into one report."""
