%% Erlang's distribution between two nodes: a stream and a round trip.
%%
%% Every role is one call by `erl -eval`; the node's name is printed as "ready NAME".
-module(yardstick_erlang).
-export([receive_all/1, send_all/4, echo/0, ping/3]).

now_ns() -> erlang:monotonic_time(nanosecond).

%% Milliseconds of processor time of all threads.
cpu_ms() -> element(1, erlang:statistics(runtime)).

ready() -> io:format("ready ~s~n", [node()]).

%% Kind is bin or map; the map has the same members as the JSON object of the others.
receive_all(Kind) ->
    register(sink, self()),
    ready(),
    {Count, Start, Cpu} = receive_loop(Kind, 0, 0, 0),
    io:format("result ~b ~b ~b~n",
              [Count, now_ns() - Start, (cpu_ms() - Cpu) * 1000000]).

receive_loop(Kind, Count, Start, Cpu) ->
    receive
        {sent, Count} -> {Count, Start, Cpu};
        {Count, Bin} when Kind =:= bin, is_binary(Bin) ->
            received(Kind, Count, Start, Cpu);
        #{<<"seq">> := Count} when Kind =:= map ->
            received(Kind, Count, Start, Cpu);
        _ -> io:format("failed order after ~b~n", [Count]), halt(1)
    end.

received(Kind, 0, _, _) -> receive_loop(Kind, 1, now_ns(), cpu_ms());
received(Kind, Count, Start, Cpu) -> receive_loop(Kind, Count + 1, Start, Cpu).

send_all(Kind, Node, Ms, Json) ->
    pong = net_adm:ping(Node),
    Payload = case Kind of bin -> list_to_binary(Json); map -> object(Json) end,
    Start = now_ns(),
    Cpu = cpu_ms(),
    Count = send_loop({sink, Node}, Payload, 0, Start + Ms * 1000000),
    {sink, Node} ! {sent, Count},
    Used = (cpu_ms() - Cpu) * 1000000,
    io:format("result ~b ~b ~b~n", [Count, now_ns() - Start, Used]),
    %% Ends when the other side has ended, so that nothing is cut off.
    erlang:monitor_node(Node, true),
    receive {nodedown, Node} -> ok end.

send_loop(To, Payload, Count, Until) ->
    case Count rem 256 =:= 0 andalso now_ns() >= Until of
        true -> Count;
        false ->
            _ = case Payload of
                    #{} -> To ! Payload#{<<"seq">> => Count};
                    _ -> To ! {Count, Payload}
                end,
            send_loop(To, Payload, Count + 1, Until)
    end.

%% An object like the others' payload, with values of that many bytes in total.
object(Json) ->
    Rest = max(0, length(Json) - 60),
    Fields = Rest div 43,
    Sensors = maps:from_list(
        [{list_to_binary("sensor" ++ integer_to_list(10 + N)),
          #{<<"value">> => 20.5 + N, <<"unit">> => <<"C">>}} || N <- lists:seq(1, Fields)]),
    Note = list_to_binary(lists:duplicate(Rest rem 43, $x)),
    Sensors#{<<"seq">> => 0, <<"type">> => <<"reading">>, <<"ok">> => true, <<"note">> => Note}.

echo() ->
    register(echo, self()),
    ready(),
    echo_loop().

echo_loop() ->
    receive {From, Message} -> From ! Message end,
    echo_loop().

ping(Node, Count, Json) ->
    pong = net_adm:ping(Node),
    Bin = list_to_binary(Json),
    _ = [trip(Node, Bin) || _ <- lists:seq(1, Count div 10)],
    Times = lists:sort([trip(Node, Bin) || _ <- lists:seq(1, Count)]),
    io:format("result ~b ~b~n", [lists:nth(Count div 2, Times), lists:nth(Count * 99 div 100, Times)]).

trip(Node, Bin) ->
    Start = now_ns(),
    {echo, Node} ! {self(), Bin},
    receive Bin -> now_ns() - Start end.
