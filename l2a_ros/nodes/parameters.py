# SPDX-License-Identifier: Apache-2.0
"""Node parameters from one schema: declared, checked and described from the same line."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from rcl_interfaces.msg import FloatingPointRange, IntegerRange, ParameterDescriptor
from rclpy.exceptions import InvalidParameterTypeException, InvalidParameterValueException
from rclpy.node import Node

from l2a_ros.errors import UserError

ParameterValue = bool | int | float | str | list[str] | list[int]

#: What an empty list holds as a default: ROS cannot tell the type of one that holds nothing.
FILLERS = ("", -1)


@dataclass(frozen=True)
class Parameter:
    """One node parameter.

    Args:
        name: as in ``ros2 param list``.
        default: its type is the parameter's type.
        description: one sentence with the unit.
        minimum: smallest admissible number, with ``maximum``.
        maximum: largest admissible number.
        choices: admissible strings; empty means any.
        is_dynamic: whether the node takes a new value while it runs (between two ticks); else it takes a restart.
    """

    name: str
    default: ParameterValue
    description: str
    minimum: float | None = None
    maximum: float | None = None
    choices: Sequence[str] = ()
    is_dynamic: bool = False

    def descriptor(self) -> ParameterDescriptor:
        """Return the ROS descriptor."""
        descriptor = ParameterDescriptor(description=self.description, read_only=not self.is_dynamic)
        if self.choices:
            descriptor.additional_constraints = f"one of: {', '.join(self.choices)}"
        if self.minimum is not None and self.maximum is not None:
            if isinstance(self.default, float):
                descriptor.floating_point_range = [FloatingPointRange(from_value=float(self.minimum),
                                                                      to_value=float(self.maximum), step=0.0)]
            else:
                descriptor.integer_range = [IntegerRange(from_value=int(self.minimum), to_value=int(self.maximum),
                                                         step=1)]
        return descriptor


def _type_name(default: ParameterValue) -> str:
    inner = f" of {type(default[0]).__name__}" if isinstance(default, list) else ""
    return f"{type(default).__name__}{inner}"


def declare(node: Node, schema: Sequence[Parameter]) -> dict[str, Any]:
    """Declare parameters and return their values by name.

    Raises:
        UserError: for a value of the wrong type, out of range or not among the choices.
    """
    values: dict[str, Any] = {}
    for parameter in schema:
        try:
            value = node.declare_parameter(parameter.name, parameter.default, parameter.descriptor()).value
        except InvalidParameterTypeException:
            raise UserError(f"parameter {parameter.name} must be of type {_type_name(parameter.default)}") from None
        except InvalidParameterValueException as error:
            reason = str(error).splitlines()[0]
            limits = (f" (from {parameter.minimum} to {parameter.maximum})" if parameter.minimum is not None else "")
            raise UserError(f"parameter {parameter.name} is out of range{limits}: {reason}") from None
        if parameter.choices and value not in parameter.choices:
            raise UserError(f"unknown {parameter.name} '{value}'; known: {', '.join(parameter.choices)}")
        if isinstance(parameter.default, list):
            # One that is empty in a parameter file has no type, so no value.
            value = [item for item in value or () if item not in FILLERS]
        values[parameter.name] = value
    return values
