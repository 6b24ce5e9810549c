# SPDX-License-Identifier: Apache-2.0
"""The `l2a` command. Every module here with an `add_parser` is a subcommand, found by itself."""
