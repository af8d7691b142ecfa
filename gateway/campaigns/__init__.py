"""Campaigns: many calls of ours, at the right time, to the right people, once. Decisions are pure."""
