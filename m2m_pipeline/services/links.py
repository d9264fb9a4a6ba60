"""Where people and programs find a bulk change: the addresses of its page, its result and its runs."""

from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlencode


@dataclass(frozen=True, slots=True)
class Links:
    """What is linked is what the settings say the address of: of the page and the API, and of the Dagster UI."""

    public_url: str
    dagster_url: str

    def of_change(self, bulk_change_id: int) -> Mapping[str, str]:
        """The addresses by what is there; none for what has no known address."""
        found: dict[str, str] = {}
        if self.public_url:
            page = f"{self.public_url}/changes/{bulk_change_id}"
            found["page"] = page
            found["each device (CSV)"] = f"{page}/result.csv"
            found["result (API)"] = f"{self.public_url}/api/v1/bulk-changes/{bulk_change_id}/result"
        if self.dagster_url:
            found["runs"] = self.runs(bulk_change_id)
        return found

    def runs(self, bulk_change_id: int) -> str:
        """Every attempt at a bulk change, in the Dagster UI; empty where its address is not known."""
        if not self.dagster_url:
            return ""
        chosen = urlencode({"q[0]": f"tag:m2m/bulk_change={bulk_change_id}"})
        return f"{self.dagster_url.rstrip('/')}/runs?{chosen}"
