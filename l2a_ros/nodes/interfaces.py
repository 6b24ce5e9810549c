# SPDX-License-Identifier: Apache-2.0
"""Every topic and service of the stack: name, type and quality of service, written once.

Names are relative, so that a whole robot can be put into a namespace.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from diagnostic_msgs.msg import DiagnosticArray
from geometry_msgs.msg import PointStamped, PoseStamped, PoseWithCovarianceStamped
from nav_msgs.msg import Odometry, Path
from rclpy.duration import Duration
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, HistoryPolicy, QoSProfile, ReliabilityPolicy
from rclpy.subscription import Subscription
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import BatteryState, Imu, JointState
from std_msgs.msg import Bool, UInt8MultiArray
from visualization_msgs.msg import MarkerArray


def _reliable(depth: int) -> QoSProfile:
    return QoSProfile(reliability=ReliabilityPolicy.RELIABLE, history=HistoryPolicy.KEEP_LAST, depth=depth)


def _latched() -> QoSProfile:
    return QoSProfile(reliability=ReliabilityPolicy.RELIABLE, durability=DurabilityPolicy.TRANSIENT_LOCAL,
                      history=HistoryPolicy.KEEP_LAST, depth=1)


SENSOR_DATA = QoSProfile(reliability=ReliabilityPolicy.BEST_EFFORT, history=HistoryPolicy.KEEP_LAST, depth=5)
#: In lock-step the world waits, so every message must arrive and none may be overwritten by a newer one.
LOCKSTEP = _reliable(1000)


@dataclass(frozen=True)
class Topic:
    """One topic: relative name, message type, and QoS in real time."""

    name: str
    type: Any
    qos: QoSProfile

    def profile(self, lockstep: bool) -> QoSProfile:
        """Return the QoS for the given mode; latched topics are the same in both."""
        latched = self.qos.durability == DurabilityPolicy.TRANSIENT_LOCAL
        return LOCKSTEP if lockstep and not latched else self.qos

    def newest(self, lockstep: bool) -> QoSProfile:
        """Return the QoS for a reader that is slower than the topic: in real time only the newest message is kept."""
        return LOCKSTEP if lockstep else _reliable(1)

    def with_deadline(self, lockstep: bool, seconds: float) -> QoSProfile:
        """Return the QoS of a publisher that promises a message at least so often; in lock-step there is no promise.

        Readers do not ask for the promise, so that tools without one can publish and listen too.
        """
        if lockstep:
            return LOCKSTEP
        return QoSProfile(reliability=self.qos.reliability, history=self.qos.history, depth=self.qos.depth,
                          deadline=Duration(seconds=seconds))


MOCAP_POSE = Topic("mocap/pose", PoseStamped, SENSOR_DATA)
IMU = Topic("imu/data_raw", Imu, SENSOR_DATA)
JOINT_STATES = Topic("joint_states", JointState, SENSOR_DATA)
MOTOR_TELEMETRY = Topic("motor_telemetry", JointState, SENSOR_DATA)
BATTERY_STATE = Topic("battery_state", BatteryState, SENSOR_DATA)
#: Lock-step only: the cumulative number of samples of each sensor topic that precede the tick with this stamp.
#: DDS keeps the order within a topic, not between topics; with these counts the estimator knows when a tick is whole.
SIM_TICK = Topic("sim/tick", JointState, _reliable(10))
#: Lock-step: the estimator's answer to a tick for which there is no state; the world goes on without a command.
SIM_NO_STATE = Topic("sim/no_state", JointState, _reliable(10))
ODOMETRY = Topic("odometry", Odometry, _reliable(10))
ROBOT_STATE = Topic("robot_state", JointState, _reliable(10))
ESTIMATOR_METRICS = Topic("state_estimator/metrics", JointState, _reliable(10))
#: As RViz sends it.
INITIAL_POSE = Topic("initialpose", PoseWithCovarianceStamped, _reliable(10))
GOAL_POSE = Topic("goal_pose", PoseStamped, _reliable(10))
CLICKED_POINT = Topic("clicked_point", PointStamped, _reliable(10))
ADAPTED_MODEL = Topic("adapted_model", UInt8MultiArray, _reliable(1))
MOTOR_COMMANDS = Topic("motor_commands", JointState, _reliable(1))
#: In a replay: what mpc would have commanded, which no robot hears.
REPLAYED_COMMANDS = Topic("replay/motor_commands", JointState, _reliable(1))
REFERENCE_PATH = Topic("reference_path", Path, _latched())
#: The line that is being drawn, before it is followed.
PATH_PREVIEW = Topic("trial/path_preview", Path, _latched())
PLAN = Topic("plan", Path, _reliable(1))
PLAN_MARKERS = Topic("plan_markers", MarkerArray, _reliable(1))
#: For the eye: the executed track, the area, a status; built only while somebody listens.
VIEW_MARKERS = Topic("view_markers", MarkerArray, _reliable(1))
ADAPTATION_METRICS = Topic("adaptation/metrics", JointState, _reliable(10))
MPC_METRICS = Topic("mpc/metrics", JointState, _reliable(10))
TRIAL_METRICS = Topic("trial/metrics", JointState, _reliable(10))
#: Offered latched, so that who starts later hears it too. Listen with :func:`subscribe_estop`.
ESTOP = Topic("estop", Bool, _latched())
DIAGNOSTICS = Topic("/diagnostics", DiagnosticArray, _reliable(10))
#: The emulated firmware's own truth, for tests and soaks: rates of the legs, what it was told, whether plugged in.
EMULATOR_TRUTH = Topic("emulator/truth", JointState, _reliable(100))
#: Every telemetry record that the emulated firmware has sent, as it was before the wire.
EMULATOR_RECORDS = Topic("emulator/records", UInt8MultiArray, _reliable(500))
CLOCK = Topic("/clock", Clock, _reliable(10))

#: What a recording of a trial holds.
RECORDED = (MOCAP_POSE, IMU, JOINT_STATES, MOTOR_TELEMETRY, BATTERY_STATE, ODOMETRY, ROBOT_STATE, ADAPTED_MODEL,
            MOTOR_COMMANDS, REFERENCE_PATH, ESTIMATOR_METRICS, ADAPTATION_METRICS, MPC_METRICS, TRIAL_METRICS, ESTOP,
            DIAGNOSTICS)
SENSOR_TOPICS = (MOCAP_POSE, IMU, JOINT_STATES, MOTOR_TELEMETRY, BATTERY_STATE)

#: Services (std_srvs/Trigger, except ``pause``: std_srvs/SetBool). The first three are the robot's, real or simulated.
ARM, DISARM, RESET_STOP = "arm", "disarm", "reset_stop"
SIM_PAUSE, SIM_STEP, SIM_RESET = "sim/pause", "sim/step", "sim/reset"
TRIAL_START, TRIAL_STOP, TRIAL_CLEAR = "trial/start", "trial/stop", "trial/clear"
PLAYER_PAUSE, PLAYER_STEP = "bag_player/pause", "bag_player/step"
ESTIMATOR_RESET, ADAPTATION_RESET = "state_estimator/reset", "adaptation/reset"

MAP_FRAME, BASE_FRAME, IMU_FRAME = "map", "base_link", "imu_link"


def subscribe_estop(node: Node, callback: Callable[[Bool], None]) -> list[Subscription]:
    """Listen to ``estop`` from every publisher: a latched reader does not hear one that is not latched.

    ``ros2 topic pub`` is not latched unless asked to be; an emergency stop must not depend on that. A message from a
    latched publisher arrives twice, which does no harm.
    """
    return [node.create_subscription(ESTOP.type, ESTOP.name, callback, qos) for qos in (ESTOP.qos, _reliable(10))]
