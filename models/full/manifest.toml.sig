untrusted comment: signature of a polyp-edge bundle
RUQczU9y2pg8Ip2NoutSdg3JU4Xw3jqP/fqaAFJRBC3ZrKs7fOSHFyCK68vbyHqbD5TUulmnL3y1Ep7OhE7yVfUHG4pZ3NHzcwE=
trusted comment: full 2026.12.01, rollback index 1
aCxLWP8AJI9Si/oeVZ07MHKmvRV4rq/almzbwKaYgxQ/DTs4vNpOz2FUHj+I/wYqZOmhcTD0o5sc8TFe8+UkDw==
