"""Series of values in time."""

from typing import Annotated, Self

from pydantic import Field, model_validator

from tasks.families.base import Family, Share, check_ascending

MAX_PERIOD = 1000
"""Time steps of the longest season."""
Period = Annotated[int, Field(ge=2, le=MAX_PERIOD)]
MAX_SERIES_VALUES = 30_000_000
"""A panel of series is made in memory, 8 bytes a value."""


class TimeSeries(Family):
    """State-space series; the forecast law is the Kalman filter's, or with regimes Hamilton's."""

    draws = "tasks.datasets.time_series:draw"
    tier = "B"

    n_samples: Annotated[int, Field(ge=50, le=100_000)] = 500
    """Observed time steps per series."""
    n_series: Annotated[int, Field(ge=1, le=10_000)] = 20
    n_features: Annotated[int, Field(ge=0, le=50)] = 3
    """Exogenous columns, known into the future."""
    horizon: Annotated[int, Field(ge=1, le=1000)] = 24
    period: Period = 24
    """Time steps per season."""
    periods: tuple[Period, ...] = Field(default=(), max_length=3, strict=False)
    """Time steps per season where there are several, shortest first; `period` is the first."""
    trend: bool = True
    seasonality: bool = True
    ar: Annotated[float, Field(ge=-0.95, le=0.95)] = 0.0
    """Autocorrelation, from one step to the next, of a part beside the noise; 0 is no such part."""
    regimes: Annotated[int, Field(ge=1, le=3)] = 1
    """Between which level and spread switch; with 2 or 3 nothing else wanders."""
    gap_rate: Annotated[float, Field(ge=0.0, le=0.5)] = 0.0
    """Share of the train steps that are missing, in runs of four on average."""
    quantiles: tuple[Share, ...] = Field(default=(), max_length=19, strict=False)
    """Levels of the quantiles to be submitted, ascending; `pinball` needs some."""

    @property
    def seasons(self) -> tuple[int, ...]:
        """Time steps of each season, shortest first."""
        return (self.periods or (self.period,)) if self.seasonality else ()

    @property
    def lag(self) -> int:
        """Time steps between the values whose differences scale MASE."""
        return self.period if self.seasonality else 1

    @model_validator(mode="before")
    @classmethod
    def _first_period(cls, data: object) -> object:
        if isinstance(data, dict) and "period" not in data:
            match data.get("periods"):
                case [first, *_]:
                    return data | {"period": first}
        return data

    @model_validator(mode="after")
    def _possible(self) -> Self:
        if self.horizon * 2 > self.n_samples:
            raise ValueError(f"horizon is {self.horizon}; at most half of n_samples is possible")
        self._possible_seasons()
        if self.regimes > 1 and self.ar:
            raise ValueError(f"ar is {self.ar}; with regimes it must be 0")
        check_ascending("quantiles", self.quantiles)
        n_values = self.n_series * (self.n_samples + self.horizon) * (self.n_features + 1)
        if n_values > MAX_SERIES_VALUES:
            raise ValueError(
                f"n_series, n_samples and n_features make {n_values:,} values; "
                f"at most {MAX_SERIES_VALUES:,} are possible"
            )
        return self

    def _possible_seasons(self) -> None:
        periods = self.periods
        check_ascending("periods", periods)
        if periods and self.period != periods[0]:
            raise ValueError(f"period is {self.period}; it must be the first of periods")
        if periods and not self.seasonality:
            raise ValueError("periods need seasonality")
        if self.seasons and max(self.seasons) * 3 > self.n_samples:
            named = "periods hold" if periods else "period is"
            raise ValueError(f"{named} {max(self.seasons)}; n_samples must hold three seasons")
