# SPDX-License-Identifier: Apache-2.0
"""The words that runs are started with, and which run takes which.

The same words are flags of ``l2a`` (``--path figure8``) and launch arguments (``path:=figure8``).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from l2a_ros.bringup.view_address import DEFAULT_ADDRESS
from l2a_ros.driver.ports import DEFAULT_PORT
from l2a_ros.driver.profiles import profile_names
from l2a_ros.experience.replay_sources import REPLAYED_NODES, SOURCES
from l2a_ros.learning.methods import method_names
from l2a_ros.planning.planners import DEFAULT_PLANNER, planner_names
from l2a_ros.robot.mocap import DEFAULT_MOCAP_TYPE, MOCAP_TOPIC, mocap_types
from l2a_ros.simulation.terrain import terrain_names
from l2a_ros.timing.clock_mode import REAL
from l2a_ros.trials.paths import path_choices

#: What may be run: a trial in simulation, a trial on the robot, a recording.
SIM, HARDWARE, REPLAY = "sim", "hardware", "replay"


@dataclass(frozen=True)
class Argument:
    """One word of a run.

    Args:
        name: the word.
        default: its text when it is not given.
        description: one sentence, with the unit.
        names: what it may be, listed when asked for; None means anything that parses.
        repeatable: whether it may be given several times.
        switch: whether the bare flag means true.
        runs: which runs take it.
        emulated: of a run on the robot: whether it means something only with ``emulate`` (True), only without (False),
            or either way (None).
    """

    name: str
    default: str
    description: str
    names: Callable[[], list[str]] | None = None
    repeatable: bool = False
    switch: bool = False
    runs: tuple[str, ...] = (SIM, HARDWARE)
    emulated: bool | None = None

    def help(self, run: str) -> str:
        """Return what to say about it when asked, except its default."""
        text = self.description
        if self.names is not None:
            text += f" Known: {', '.join(self.names())}."
        if run == HARDWARE and self.emulated is not None:
            text += " Only with emulate." if self.emulated else " Not with emulate."
        return text


ARGUMENTS: tuple[Argument, ...] = (
    Argument("path", "straight", "Line to follow: a shape by name, a YAML file with one, or drawn: by hand, in RViz.",
             names=path_choices),
    Argument("method", "grbal", "How the dynamics model adapts.", names=method_names),
    Argument("planner", DEFAULT_PLANNER, "How the next motor command is chosen.", names=planner_names),
    Argument("terrain", "carpet", "Ground: NAME or a YAML file, with :ANGLE[,DIRECTION[,BEGIN]] for another slope, in "
                                  "degrees, that begins BEGIN metres ahead.", names=terrain_names, runs=(SIM,)),
    Argument("terrain", "carpet", "Ground, as the report names it; with emulate the ground of the emulated robot: NAME "
                                  "or a YAML file, with :ANGLE[,DIRECTION[,BEGIN]] for another slope, in degrees, that "
                                  "begins BEGIN metres ahead.", names=terrain_names, runs=(HARDWARE,)),
    Argument("fault", "", "What breaks and when: NAME[:ARGUMENTS][@ONSET_S], for example missing_leg:front_right@5.0 "
                          "or motor_gain:right,0.6; separate several with ';' or a space; or a YAML file with a "
                          "list 'faults'. Default: those in the config.", repeatable=True, emulated=True),
    Argument("checkpoint", "", "Trained model (safetensors); empty means the one shipped for the method."),
    Argument("clock", REAL, "Simulated time: real, lockstep (the world waits for every command) or a factor of real "
                            "time such as 2.0.", runs=(SIM,)),
    Argument("duration", "20.0", "Longest time of the trial, seconds."),
    Argument("seed", "0", "Seed of everything random."),
    Argument("out", "", "Folder of the report; empty means runs/<time>_<path>_<method>."),
    Argument("record", "false", "Whether to record all topics to a bag in the folder of the report.", switch=True),
    Argument("video", "false", "Whether to make a film of the run in the folder of the report: trial.mp4, and "
                               "trial_end.png of its end.", switch=True, emulated=True),
    Argument("headless", "true", "Whether to run without a window.", switch=True, emulated=True),
    Argument("view", "false", "Whether to show the run in a web browser while it goes on; where there is a display the "
                              "browser is opened.", switch=True),
    Argument("view_address", DEFAULT_ADDRESS, "Where the live view listens, HOST:PORT: 0.0.0.0 lets other machines "
                                              "see it; port 0 means any free one."),
    Argument("config", "", "ROS 2 parameter file of the robot; empty means the shipped config/millirobot.yaml.",
             runs=(SIM,)),
    Argument("config", "", "ROS 2 parameter file with what differs from the shipped config/millirobot.yaml and "
                           "config/hardware.yaml, which are read before it.", runs=(HARDWARE,)),
    Argument("port", "", f"Serial port of the radio: a device, or a URL such as socket://host:4000; empty means "
                         f"{DEFAULT_PORT}, as the shipped udev rule names it.", runs=(HARDWARE,), emulated=False),
    Argument("baud", "57600", "Speed of the port, bit/s.", runs=(HARDWARE,)),
    Argument("profile", "velociroach_gbac", "Firmware of the robot.", names=profile_names, runs=(HARDWARE,)),
    Argument("calibration", "", "YAML file with what is particular to this robot; empty means a robot as published.",
             runs=(HARDWARE,)),
    Argument("mocap_topic", MOCAP_TOPIC, "Topic with the robot's pose from motion capture.", runs=(HARDWARE,)),
    Argument("mocap_type", DEFAULT_MOCAP_TYPE, "Message type of that topic.", names=mocap_types, runs=(HARDWARE,),
             emulated=False),
    Argument("emulate", "false", "Whether to run against the emulated firmware instead of a robot.", switch=True,
             runs=(HARDWARE,)),
)


_SHARED = {argument.name: argument for argument in ARGUMENTS if SIM in argument.runs}
#: The words of a replay, whose defaults are its own.
REPLAY_ARGUMENTS: tuple[Argument, ...] = (
    Argument("bag", "", "Recording: a folder of rosbag2, or a .mcap, .db3 or .bag file, also a damaged one."),
    Argument("from", "sensors", "What is played: the sensors, which are estimated again, or the recorded states.",
             names=lambda: list(SOURCES)),
    Argument("nodes", ",".join(REPLAYED_NODES), "Which nodes answer, separated by commas; each needs those before it "
                                                "(with --from robot_state there is no estimator)."),
    Argument("robot", "", "Namespace of the robot in the recording; empty means the only one."),
    Argument("mocap_topic", "", "Recorded topic with the robot's pose; empty means mocap/pose, or the only topic of "
                                "such a type."),
    Argument("without", "", "Recorded topic that is left out, such as imu/data_raw; separate several with ';' or a "
                            "space.", repeatable=True),
    _SHARED["method"], _SHARED["planner"], _SHARED["checkpoint"],
    Argument("clock", REAL, "Speed: real, a factor of real time such as 2.0 (both can be changed under way: parameter "
                            "rate of bag_player), or lockstep (as fast as the nodes answer)."),
    Argument("start", "0.0", "Where in the recording to begin, seconds after its beginning."),
    Argument("duration", "0.0", "How much of it to play, seconds of the recording; 0 means all."),
    Argument("loop", "false", "Whether to begin again at the end, until it is interrupted.", switch=True),
    _SHARED["seed"],
    Argument("out", "", "Folder of the report; empty means runs/<time>_replay_<method>."),
    Argument("record", "false", "Whether to record what the nodes say now to a bag in the folder of the report.",
             switch=True),
    _SHARED["config"],
    Argument("calibration", "", "YAML file with what is particular to the recorded robot; empty means a robot as "
                                "published."),
)


def arguments_of(run: str) -> tuple[Argument, ...]:
    """Return the words that a run takes."""
    if run == REPLAY:
        return REPLAY_ARGUMENTS
    return tuple(argument for argument in ARGUMENTS if run in argument.runs)
