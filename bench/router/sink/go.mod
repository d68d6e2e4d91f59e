module comanda.dev/bench/sink
go 1.21
