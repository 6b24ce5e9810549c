# SPDX-License-Identifier: Apache-2.0
"""Measurements of the stack: one table and one JSON form for all of them."""
