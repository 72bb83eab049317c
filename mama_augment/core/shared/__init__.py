"""What both programs use once."""
