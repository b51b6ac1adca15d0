"""Frames of a clip, camera or stream: read, followed, smoothed, made into events."""
