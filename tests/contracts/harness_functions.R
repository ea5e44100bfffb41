# The functions of harness_cases.json, in R.

add <- function(x, y) x + y

greet <- function(name, greeting = "Hello") paste0(greeting, ", ", name)

echo <- function(x) x

nothing <- function() NULL

count_rest <- function(x, ...) ...length()

name_rest <- function(x, ...) I(sort(names(list(...))))

numbers <- function() c(NaN, Inf, 1.5)

fails <- function(message) stop(message)

unfit <- function() list(1, fails)
