# SPDX-License-Identifier: Apache-2.0
"""Collecting experience, meta-training on it, and judging the result."""
