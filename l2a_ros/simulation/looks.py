# SPDX-License-Identifier: Apache-2.0
"""How a world looks: light, sky, and tiles on the ground by which motion is seen. Nothing here is felt by the robot."""

from __future__ import annotations

import mujoco

UNDERGROUND = "underground"

#: Edge of a tile of the ground, m.
TILE = 0.1
#: Brightness of the two kinds of tile and of the joint between them; the terrain's colour is multiplied with it.
_LIGHT_TILE, _DARK_TILE, _JOINT = 1.0, 0.86, 0.72
_PIXELS = 128
#: What is drawn, m from the camera; lines on the ground need a nearest that is not much nearer.
_NEAREST, _FARTHEST = 0.03, 20.0
#: Shadows are cast this far from the robot, m.
_SHADOW = 0.5
_SKY_HIGH, _SKY_LOW = (0.35, 0.47, 0.60), (0.80, 0.85, 0.90)


def add_looks(spec: mujoco.MjSpec, follow: mujoco.MjsBody) -> None:
    """Light a world and tile its ground; the ground must be there already.

    Args:
        spec: the world.
        follow: the body that the light stays above.
    """
    spec.add_texture(name="sky", type=mujoco.mjtTexture.mjTEXTURE_SKYBOX, builtin=mujoco.mjtBuiltin.mjBUILTIN_GRADIENT,
                     rgb1=_SKY_LOW, rgb2=_SKY_HIGH, width=16, height=96)
    spec.add_texture(name="tiles", type=mujoco.mjtTexture.mjTEXTURE_2D, builtin=mujoco.mjtBuiltin.mjBUILTIN_CHECKER,
                     rgb1=[_LIGHT_TILE] * 3, rgb2=[_DARK_TILE] * 3, mark=mujoco.mjtMark.mjMARK_EDGE,
                     markrgb=[_JOINT] * 3, width=_PIXELS, height=_PIXELS)
    # The texture holds two tiles by two.
    tiles = spec.add_material(name="tiles", texuniform=True, texrepeat=[0.5 / TILE, 0.5 / TILE], specular=0.1,
                              shininess=0.1, reflectance=0.0)
    tiles.textures[mujoco.mjtTextureRole.mjTEXROLE_RGB] = "tiles"
    ground = list(spec.worldbody.geoms)
    smooth = all(geom.type != mujoco.mjtGeom.mjGEOM_HFIELD for geom in ground)
    for geom in ground:
        geom.material = "tiles"
        if smooth and geom.name == UNDERGROUND:
            # It is as high as the lowest stretch of ground above it: the two would flicker.
            geom.rgba[3] = 0.0
    # From all over the sky, but near: software rendering computes shadows in single precision, which a distance spoils.
    follow.add_light(pos=[0.024, -0.034, 0.08], dir=[-0.3, 0.42, -1.0], mode=mujoco.mjtCamLight.mjCAMLIGHT_TRACK,
                     type=mujoco.mjtLightType.mjLIGHT_DIRECTIONAL, castshadow=True, diffuse=[0.55, 0.55, 0.55],
                     specular=[0.2, 0.2, 0.2])
    # Else it depends on the ground, and with it what is too near or too far to be drawn.
    spec.stat.extent = 1.0
    spec.visual.map.znear, spec.visual.map.zfar = _NEAREST, _FARTHEST
    spec.visual.map.shadowclip = _SHADOW
    light = spec.visual.headlight
    light.ambient[:], light.diffuse[:], light.specular[:] = [0.42] * 3, [0.35] * 3, [0.0] * 3
