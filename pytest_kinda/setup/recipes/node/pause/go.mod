module kinda/pause

go 1.21
