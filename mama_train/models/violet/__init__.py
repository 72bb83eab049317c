"""VIOLET: a Video Swin's grid of every frame and a text's words in one BERT (arXiv 2111.12681).

`Violet` follows the protocol of `models/crossmodal/answering.py`, and is a `DualEncoder`: its
embeddings are those of each side alone in the fusion encoder. `VioletConfig.form` says what it
answers, and how:

    open-class     a question [B,S]         classes, from the text's first token
    open-word      [B,S] with a [MASK]      words of BERT, at the mask
    choice-class   options [B,K,S]          one number per option, from its first token
    choice-truth   [B,K,S] with a [MASK]    "true" against "false" at each option's mask
    choice-index   [B,S] with a [MASK]      the digits of K options, at the mask
    pair           texts [B,K,S]            one number per text: retrieval by fusion

`texts.py` writes these texts, `retrieval.py` ranks in two stages, `published.py` loads the
published weights of VIOLET and VIOLETv2.
"""
