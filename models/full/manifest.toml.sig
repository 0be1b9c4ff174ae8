untrusted comment: signature of a polyp-edge bundle
RUQczU9y2pg8Inq+ZdQ93V/dPy2sPI1uGaAB2ExJEXS88Iw6oq8eL03z36L0jRVkO8YheP5KR1rnzfwIq6YrlhkH8ostFLoHtAU=
trusted comment: full 2026.11.26, rollback index 1
alJlfawN+RG39uAjTxRvtouv3opQilfrRk+HBKRmHc79820/f3q+AmchKkvBXD8H1ST9wdSliZWJKW4Fg83CBQ==
