"""Interlaced frames: two moments in alternate lines, one of which is shown."""

from __future__ import annotations

import av
import av.filter

FILTER = "estdif"
"""Edge slope tracing: from one frame alone. yadif and bwdif look at the frames before and after,
which a frame that is picked out of a stream does not bring along: given one frame, they find no
motion and leave the combs in."""


def deinterlaced(frame: av.VideoFrame) -> av.VideoFrame:
    """One of the two moments of a frame that is flagged as interlaced; others as they are."""
    if not frame.interlaced_frame:
        return frame
    graph = av.filter.Graph()
    source = graph.add_buffer(
        width=frame.width, height=frame.height, format=frame.format, time_base=frame.time_base
    )
    graph.link_nodes(
        source, graph.add(FILTER, "mode=frame:deint=interlaced"), graph.add("buffersink")
    )
    graph.configure()
    source.push(frame)
    source.push(None)
    return graph.pull()
