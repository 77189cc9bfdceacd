"""The agent: what runs on the device and decides there."""
