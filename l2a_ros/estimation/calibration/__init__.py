# SPDX-License-Identifier: Apache-2.0
"""How the sensors of one robot sit on it and what they are off by, from recordings of it at rest and turned by hand."""
