"""`python -m mama_train`, for launchers such as torchrun."""

from mama_train.cli import main

if __name__ == "__main__":
    main()
