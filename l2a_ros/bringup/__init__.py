# SPDX-License-Identifier: Apache-2.0
"""The graph of processes, written once as data: `l2a sim` and the launch files both start what stands here."""
