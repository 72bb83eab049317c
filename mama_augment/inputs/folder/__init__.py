"""What lies on a disk or an object store: videos, tars of them, texts beside them."""
