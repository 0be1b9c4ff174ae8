untrusted comment: signature of a polyp-edge bundle
RUQczU9y2pg8Ik5opk75rwLAMrcAsO9pPd8NUvBnfmIt774TRfbf4MV/CLMZuxr4kEeyF+LGzyOUwkpl5qMAR+8Vmh93f/+FSgk=
trusted comment: full 2026.12.01, rollback index 1
LNldGwsKbW0bVkh52tto1+xXkunbQyaQi+uXNU5LHequ2PlqabAdXutQzxRHpU/ohs0V+WN4XcissjIVcAYECw==
