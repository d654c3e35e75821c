"""How many seats each conference has left."""

from lantern import Event, Projection, Row


class Conference(Row, table="conferences", key="conference"):
    conference: str
    seats: int
    reserved: int
    available: int
    """Below zero when more seats are reserved than there are."""
    overbooked: bool

    def count(self) -> None:
        self.available = self.seats - self.reserved
        self.overbooked = self.available < 0
        self.put()


projection = Projection("seat-availability", read_model_version=1, categories=["conference"], tables=[Conference])


@projection.on("ConferenceOpened")
def opened(event: Event, seats: int):
    row = Conference.get_or_default(event.aggregate_id)
    row.seats = seats
    row.count()


@projection.on("SeatsReserved")
def reserved(event: Event, seats: int):
    row = Conference.get_or_default(event.aggregate_id)
    row.reserved += seats
    row.count()


@projection.on("ReservationCancelled")
def cancelled(event: Event, seats: int):
    row = Conference.get_or_default(event.aggregate_id)
    row.reserved -= seats
    row.count()
