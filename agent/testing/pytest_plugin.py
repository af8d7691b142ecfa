"""The pytest plugin: fixtures that run conversations and recorded calls as tests."""
