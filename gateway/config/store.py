"""Settings of the store of call records."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, model_validator

from gateway.config.fields import FilePath, Secret, StoreUrl

__all__ = ["StoreSettings"]


class StoreSettings(BaseModel):
    """Where call records go; see docs/records.md. A URL alone will do: `store: "sqlite:///var/trunkline.db"`."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    url: StoreUrl = Field(
        default="sqlite:///var/trunkline.db",
        description="A SQLite file, or a PostgreSQL database: `postgresql://user@host:5432/database`, with libpq's "
        "parameters behind a `?` (`sslmode=verify-full`). Never with a password.",
    )
    password: Secret | None = Field(default=None, description="PostgreSQL: where the user's password is stored.")
    gateway_id: str = Field(
        default="",
        pattern=r"^[A-Za-z0-9_.-]{0,64}$",
        description="PostgreSQL: this gateway's name among those that share the database. It must stay the same over "
        "restarts. Empty: the machine's host name.",
    )
    waiting: FilePath = Field(
        default=Path("var/trunkline"),
        description="PostgreSQL: records wait in `<waiting>.waiting.jsonl` while it cannot be written.",
    )

    @model_validator(mode="before")
    @classmethod
    def _url_alone(cls, value: Any) -> Any:
        return {"url": value} if isinstance(value, str) else value

    def __str__(self) -> str:
        return self.url

    @property
    def sqlite(self) -> bool:
        return self.url.startswith("sqlite:")

    @property
    def path(self) -> Path:
        """The SQLite file, or the base name of the local files used with PostgreSQL."""
        return Path(self.url.removeprefix("sqlite:///")) if self.sqlite else self.waiting

    @property
    def owner(self) -> str:
        """Whose calls this gateway's are; empty with SQLite, where they are all its own."""
        return "" if self.sqlite else self.gateway_id or socket.gethostname()

    def read_password(self) -> str:
        """Empty when there is none. Raises SecretMissing."""
        return self.password.read() if self.password is not None else ""
