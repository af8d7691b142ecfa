"""PostgreSQL's address for SQLAlchemy, and its errors in plain words."""

from __future__ import annotations

from sqlalchemy import URL, make_url

__all__ = ["connect_url", "one_line"]


def connect_url(url: str, password: str) -> URL:
    full = make_url(url).set(drivername="postgresql+psycopg")
    return full.set(password=password) if password else full


def one_line(error: object) -> str:
    return " ".join(str(error).split())
