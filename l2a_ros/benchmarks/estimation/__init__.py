# SPDX-License-Identifier: Apache-2.0
"""How good the state estimate is: against the truth of the simulator, and by its own account."""
