# SPDX-License-Identifier: Apache-2.0
"""The last gate before the motors."""
