"""Decisions: what was observed goes in, a Plan comes out. No IO, no clock, no client and no Kopf may enter."""
