untrusted comment: signature of a polyp-edge bundle
RUQczU9y2pg8IsoXV2GZ+hfI3iPMLrfs9b93nbaKqTIWc4z/nnYweUPBSIYq0lDAtf4OuI+rssOtnh2U5klOcHDSaxcb4VluAQA=
trusted comment: lite 2026.11.26.3, rollback index 1
9PKhKP3yDTYG9Jn4jxQH0qB12tIpzd1/IHwLRZyD08UNiFdYQJrpVEYTlEhuppoqqN5Gfo4Y4nmRnITYzSgHDQ==
