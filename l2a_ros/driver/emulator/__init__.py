# SPDX-License-Identifier: Apache-2.0
"""The other end of the driver's port without a robot: firmware, wire, and what may go wrong with both."""
