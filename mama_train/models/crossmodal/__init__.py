"""What models that read video and text together share: BERT, published weights, the protocol."""
