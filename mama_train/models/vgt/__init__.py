"""VGT: regions of frames as graphs, frames as clips, clips and words together (arXiv 2207.05342).

`Vgt` follows the protocol of `models/crossmodal/answering.py`. Its video is a `Regions`: boxes and
vectors of C clips × F frames × R regions, linked so that index r is one object in the frames of a
clip (`linking.py`), with a mask where there is no such object. Options are scored by f · t_k, the
answers of a vocabulary by (f · a_v)(q · a_v).

`published.py` loads the published weights. What is published otherwise than here is an option:
`text_pooling="padded"` (texts averaged over padding too) and `link_regions(..., "published")`.
"""
