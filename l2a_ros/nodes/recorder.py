# SPDX-License-Identifier: Apache-2.0
"""``recorder``: writes the topics of a trial into a rosbag2 bag (MCAP), as they come, without decoding them.

A topic that was given another name is recorded under the stack's own name for it, which is what training looks for and
what a replay needs.
"""

from __future__ import annotations

import importlib
import struct
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, HistoryPolicy, QoSProfile, ReliabilityPolicy

from l2a_ros.errors import UserError
from l2a_ros.experience.bag_writer import BagWriter, OfferedQos, message_type
from l2a_ros.nodes.interfaces import MOCAP_POSE, RECORDED, Topic
from l2a_ros.nodes.messages import SECOND
from l2a_ros.nodes.parameters import Parameter, declare
from l2a_ros.nodes.runtime import run_node
from l2a_ros.nodes.sensor_messages import MOCAP_PARAMETER, mocap_topic

NAME = "recorder"
#: Kept while the disk is slow: the publishers' own depths are meant for control, not for completeness.
DEPTH = 200
#: After a signal the messages that have already arrived are still written, for at most so long, seconds.
DRAIN = 0.5
#: A recorder that is killed loses at most so much, seconds.
FLUSH = 1.0

SCHEMA = (
    Parameter("control_period", 0.1, "nominal control period, s", 0.001, 10.0),
    Parameter("lockstep", False, "the world waits for the command of each tick"),
    MOCAP_PARAMETER,
    Parameter("out", "", "folder of the bag; must not exist yet"),
    Parameter("topics", [""], "further topics to record, each as NAME:TYPE, such as /tf:tf2_msgs/msg/TFMessage"),
)


class Recorder(Node):
    """Raw subscriptions, each writing to the bag."""

    _bag: BagWriter | None = None

    def __init__(self) -> None:
        super().__init__(NAME)
        values = declare(self, SCHEMA)
        if not values["out"]:
            raise UserError("parameter out must name the folder of the recording")
        self._lockstep: bool = values["lockstep"]
        mocap = mocap_topic(values["mocap_type"])
        topics = [*(mocap if each is MOCAP_POSE else each for each in RECORDED), *map(parse_topic, values["topics"])]
        self._bag = bag = BagWriter(Path(values["out"]))
        self._flush_at = time.monotonic() + FLUSH
        for topic in topics:
            self._record(topic, bag)
        print(f"{NAME}: recording {len(topics)} topics to {bag.path}", flush=True)

    def _record(self, topic: Topic, bag: BagWriter) -> None:
        offered = topic.profile(self._lockstep)
        reliable = offered.reliability == ReliabilityPolicy.RELIABLE
        latched = offered.durability == DurabilityPolicy.TRANSIENT_LOCAL
        name = self.resolve_topic_name(topic.name, only_expand=True)
        bag.add_topic(name, type_name(topic.type), OfferedQos(reliable, latched, offered.depth))
        profile = QoSProfile(reliability=offered.reliability, durability=offered.durability,
                             history=HistoryPolicy.KEEP_LAST, depth=max(DEPTH, offered.depth))
        self.create_subscription(topic.type, topic.name, self._writer(bag, name, has_header(topic.type)), profile,
                                 raw=True)

    def _writer(self, bag: BagWriter, name: str, headed: bool) -> Callable[[bytes], None]:
        # In lock-step the moment of receiving depends on the machine; the message's own stamp does not.
        stamped = headed and self._lockstep
        clock = self.get_clock()

        def write(data: bytes) -> None:
            log_time = leading_stamp(data) if stamped else 0
            bag.write(name, log_time or clock.now().nanoseconds, data)

        return write

    def next_deadline(self) -> float | None:
        """Return when the bag is due to be flushed, monotonic seconds."""
        return self._flush_at

    def on_deadline(self) -> None:
        """Flush the bag."""
        if self._bag is not None:
            self._bag.flush()
        self._flush_at = time.monotonic() + FLUSH

    def destroy_node(self) -> None:
        """Write what has arrived and finish the bag."""
        bag, self._bag = self._bag, None
        if bag is not None:
            executor, end = self.executor, time.monotonic() + DRAIN
            before = -1
            while executor is not None and bag.count != before and time.monotonic() < end:
                before = bag.count
                executor.spin_once(timeout_sec=0.02)
            bag.close()
            print(f"{NAME}: {bag.count} messages in {bag.path}", flush=True)
        super().destroy_node()


def parse_topic(text: str) -> Topic:
    """Return the topic that ``NAME:TYPE`` describes, to be recorded as best effort, which every publisher matches.

    Raises:
        UserError: if the text has another form or the type is not installed.
    """
    name, _, kind = text.partition(":")
    parts = kind.split("/")
    if not name or len(parts) != 3 or parts[1] != "msg":
        raise UserError(f"parameter topics: '{text}' is not NAME:TYPE, such as /tf:tf2_msgs/msg/TFMessage")
    try:
        message = getattr(importlib.import_module(f"{parts[0]}.msg"), parts[2])
    except (ImportError, AttributeError):
        raise UserError(f"parameter topics: the message type {kind} is not installed") from None
    message_type(kind)
    return Topic(name, message, QoSProfile(reliability=ReliabilityPolicy.BEST_EFFORT, history=HistoryPolicy.KEEP_LAST,
                                           depth=DEPTH))


def type_name(message: Any) -> str:
    """Return the name of a message class, such as ``sensor_msgs/msg/JointState``."""
    return f"{message.__module__.split('.')[0]}/msg/{message.__name__}"


def has_header(message: Any) -> bool:
    """Tell whether a message class begins with a header, so that its bytes begin with a stamp."""
    fields = list(message.get_fields_and_field_types().items())
    return bool(fields) and fields[0] == ("header", "std_msgs/Header")


def leading_stamp(data: bytes) -> int:
    """Return the stamp in ns of serialised bytes that begin with a header (after four bytes of encapsulation)."""
    seconds, nanoseconds = struct.unpack_from("<iI" if data[1] & 1 else ">iI", data, 4)
    return int(seconds) * SECOND + int(nanoseconds)


def main() -> None:
    """Run the node."""
    run_node(Recorder, NAME)


if __name__ == "__main__":
    main()
