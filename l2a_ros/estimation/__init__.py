# SPDX-License-Identifier: Apache-2.0
"""From sensor samples to the named state vector."""
