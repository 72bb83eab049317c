"""What every step and the trainer stand on."""
